# They know the devices: at each TAB, devstream is asked.
devstream completions fish | source
