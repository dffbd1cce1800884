# They know the devices: at each TAB, devstream is asked.
source <(devstream completions bash)
