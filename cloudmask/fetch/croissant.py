"""The data set described for machines: Croissant 1.1 with GeoCroissant 1.0 (MLCommons).

Without a manifest, the files are described by their patterns; with one, each file is listed with
its address, size and SHA-256. Band centres and widths: Sentinel-3 SLSTR user guide, ESA.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from cloudmask.errors import InputError
from cloudmask.fetch.manifest import ManifestEntry
from cloudmask.fetch.places import BUCKET, ENDPOINT, KNOWN_PREFIXES
from cloudmask.files import replacing

SIZES = {"ds1": "180 GB", "ds2": "4.9 TB"}
COUNTS = {
    "ds1": "970 training scenes and 100 inference scenes (55 by day, 45 by night, October 2019)",
    "ds2": "The same kind of scenes, in larger number",
}
LICENCE = "https://sentinels.copernicus.eu/documents/247904/690755/Sentinel_Data_Legal_Notice"
HDF5 = "application/x-hdf5"
# Name: centre and width in nanometres.
BANDS = {
    **{"S1": (554.27, 19.26), "S2": (659.47, 19.25), "S3": (868.0, 20.60)},
    **{"S4": (1374.80, 20.80), "S5": (1613.40, 60.68), "S6": (2255.70, 50.15)},
    **{"S7": (3742.0, 398.0), "S8": (10854.0, 776.0), "S9": (12022.5, 905.0)},
}
SUBSETS = {
    "training": "Scenes for training and validation: split by scene, 80 and 20 %, by "
    "scikit-learn's train_test_split(train_size=0.8, random_state=42) of the sorted names",
    "inference": "Scenes for whole-scene inference",
}
ARRAYS = {
    "refs": "reflectance of S1 to S6, (rows, columns, 6); 0 where missing",
    "bts": "brightness temperature of S7 to S9 in kelvin, (rows, columns, 3); 0 where missing",
    "bayes": "flags of the operational Bayesian cloud screen; the label is cloud where above 0",
    "summary": "summary of the operational cloud tests",
}
CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "equivalentProperty": "cr:equivalentProperty",
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "geocr": "http://mlcommons.org/croissant/geo/",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}


def describe(dataset: str, files: Mapping[str, ManifestEntry] | None = None) -> dict[str, Any]:
    """The JSON-LD document of 'ds1' or 'ds2'.

    Args:
        files: verified files by their path below the prefix, to be listed one by one.
    """
    arrays = "; ".join(f"{name}: {text}" for name, text in ARRAYS.items())
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": [
            "http://mlcommons.org/croissant/1.1",
            "http://mlcommons.org/croissant/geo/1.0",
        ],
        "name": f"CloudMask-{dataset.upper()}",
        "description": (
            f"Data set {dataset.upper()} of the CloudMask benchmark of MLCommons Science: scenes "
            "of the Sea and Land Surface Temperature Radiometer (SLSTR) on Sentinel-3, nadir view, "
            f"with the operational Bayesian cloud mask as label. {COUNTS[dataset]}. "
            f"HDF5 arrays on the grid of 1200 x 1500 pixels of 1 km: {arrays}."
        ),
        "url": f"{ENDPOINT}/{BUCKET}/{KNOWN_PREFIXES[dataset][0]}/",
        "version": "1.0.0",
        "license": LICENCE,
        "citeAs": (
            "J. Thiyagalingam et al.: AI Benchmarking for Science: Efforts from the MLCommons "
            "Science Working Group, 2022. Contains modified Copernicus Sentinel data 2019."
        ),
        "keywords": ["cloud mask", "segmentation", "Sentinel-3", "SLSTR", "MLCommons Science"],
        "creator": {"@type": "Organization", "name": "STFC Scientific Machine Learning Group"},
        "contentSize": SIZES[dataset],
        "isLiveDataset": False,
        "spatialCoverage": {
            "@type": "Place",
            "geo": {"@type": "GeoShape", "box": "-90 -180 90 180"},
        },
        "geocr:coordinateReferenceSystem": "none: instrument grid, without positions in the files",
        "geocr:spatialResolution": _quantity(1, "km"),
        "geocr:bandConfiguration": {
            "@type": "geocr:BandConfiguration",
            "geocr:totalBands": len(BANDS),
            "geocr:bandNamesList": list(BANDS),
        },
        "geocr:spectralBandMetadata": [
            {
                "@type": "geocr:SpectralBand",
                "name": name,
                "geocr:centerWavelength": _quantity(centre, "nm"),
                "geocr:bandwidth": _quantity(width, "nm"),
            }
            for name, (centre, width) in BANDS.items()
        ],
        "distribution": [*_store(dataset), *_distribution(dataset, files)],
        "recordSet": [_scenes(subset, text) for subset, text in SUBSETS.items()],
    }


def write(dataset: str, files: Mapping[str, ManifestEntry], path: Path) -> None:
    """Write the document with these files.

    Raises:
        InputError: the file cannot be written.
    """
    try:
        with replacing(path) as partial:
            partial.write_text(as_text(describe(dataset, files)), encoding="utf-8")
    except OSError as error:
        raise InputError(f"--croissant {path}: cannot be written ({error.strerror})") from error


def as_text(document: Mapping[str, Any]) -> str:
    """The document as indented JSON."""
    return json.dumps(document, indent=2) + "\n"


def _quantity(value: float, unit: str) -> dict[str, Any]:
    return {"@type": "QuantitativeValue", "value": value, "unitText": unit}


def _store(dataset: str) -> list[dict[str, Any]]:
    """The folder of the public store that holds all files."""
    return [
        {
            "@type": "cr:FileObject",
            "@id": "store",
            "name": "store",
            "description": "S3 bucket, readable without credentials",
            "contentUrl": f"{ENDPOINT}/{BUCKET}/{KNOWN_PREFIXES[dataset][0]}/",
            "contentSize": SIZES[dataset],
            "encodingFormat": "https://docs.aws.amazon.com/AmazonS3/latest/API/",
            "sha256": "not defined for a folder: see the files",
        }
    ]


def _distribution(dataset: str, files: Mapping[str, ManifestEntry] | None) -> list[dict[str, Any]]:
    sets = [
        {
            "@type": "cr:FileSet",
            "@id": f"{subset}-scenes",
            "name": f"{subset}-scenes",
            "description": text,
            "containedIn": {"@id": "store"},
            "encodingFormat": HDF5,
            "includes": f"{subset}/**/S3A*.hdf",
        }
        for subset, text in SUBSETS.items()
    ]
    listed = [
        {
            "@type": "cr:FileObject",
            "@id": path,
            "name": PurePosixPath(path).name,
            "contentUrl": f"{ENDPOINT}/{BUCKET}/{quote(entry.key)}",
            "contentSize": f"{entry.size} B",
            "encodingFormat": HDF5,
            "sha256": entry.sha256,
        }
        for path, entry in sorted((files or {}).items())
    ]
    return [*sets, *listed]


def _scenes(subset: str, text: str) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": subset,
        "name": subset,
        "description": f"{text}; one record a scene, its content in HDF5",
        "field": [
            {
                "@type": "cr:Field",
                "@id": f"{subset}/{name}",
                "name": name,
                "description": description,
                "dataType": data_type,
                "source": {
                    "fileSet": {"@id": f"{subset}-scenes"},
                    "extract": {"fileProperty": name},
                },
            }
            for name, description, data_type in (
                ("filename", "ESA's name of the product, which has the sensing time", "sc:Text"),
                ("content", "The HDF5 file", "sc:Text"),
            )
        ],
    }
