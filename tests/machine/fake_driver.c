/* A fake of the NVIDIA driver's library (NVML): two GPUs that draw 100 W, the first with an energy
   counter, the second, as before Volta, without; each with three links to a switch. Functions that
   are missing here are not supported by the GPU. Numbers as in nvml.h. */
#include <string.h>

enum { SUCCESS = 0, NOT_SUPPORTED = 3, NOT_FOUND = 6 };

static int first, second;

int nvmlInitWithFlags(unsigned flags) { return SUCCESS; }

const char *nvmlErrorString(int result) {
    return result == NOT_FOUND ? "Not Found" : "Not Supported";
}

int nvmlDeviceGetHandleByPciBusId_v2(const char *address, void **device) {
    if (!strcmp(address, "0000:17:00.0"))
        *device = &first;
    else if (!strcmp(address, "0000:65:00.0"))
        *device = &second;
    else
        return NOT_FOUND;
    return SUCCESS;
}

/* 5 J more at every call. */
int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *millijoules) {
    static unsigned long long energy = 1000000;
    if (device != &first)
        return NOT_SUPPORTED;
    *millijoules = energy += 5000;
    return SUCCESS;
}

int nvmlDeviceGetPowerUsage(void *device, unsigned *milliwatts) {
    *milliwatts = 100000;
    return SUCCESS;
}

int nvmlDeviceGetMemoryInfo(void *device, unsigned long long bytes[3]) {
    bytes[0] = 16ULL << 30; /* total */
    bytes[1] = 13ULL << 30; /* free */
    bytes[2] = 3ULL << 30;  /* used */
    return SUCCESS;
}

int nvmlDeviceGetUtilizationRates(void *device, unsigned percent[2]) {
    percent[0] = 87; /* gpu */
    percent[1] = 40; /* memory */
    return SUCCESS;
}

int nvmlSystemGetDriverVersion(char *text, unsigned size) {
    strncpy(text, "560.35.03", size);
    return SUCCESS;
}

int nvmlDeviceGetCount_v2(unsigned *count) {
    *count = 2;
    return SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) {
    *device = index ? &second : &first;
    return SUCCESS;
}

int nvmlDeviceGetName(void *device, char *text, unsigned size) {
    strncpy(text, "Tesla V100-SXM3-32GB", size);
    return SUCCESS;
}

int nvmlDeviceGetMaxPcieLinkGeneration(void *device, unsigned *generation) {
    *generation = 3;
    return SUCCESS;
}

int nvmlDeviceGetMaxPcieLinkWidth(void *device, unsigned *width) {
    *width = 16;
    return SUCCESS;
}

int nvmlDeviceGetMaxClockInfo(void *device, int clock, unsigned *megahertz) {
    if (clock != 1) /* SM */
        return NOT_SUPPORTED;
    *megahertz = 1597;
    return SUCCESS;
}

int nvmlDeviceGetNvLinkState(void *device, unsigned link, unsigned *active) {
    if (link > 5)
        return NOT_SUPPORTED;
    *active = link < 3;
    return SUCCESS;
}

int nvmlDeviceGetNvLinkRemoteDeviceType(void *device, unsigned link, unsigned *kind) {
    *kind = 2; /* switch */
    return SUCCESS;
}
