"""Variables of launchers such as torchrun."""

LAUNCH_OF_RANK_1 = {
    **{"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"},
    **{"MASTER_ADDR": "localhost", "MASTER_PORT": "29511"},
}
