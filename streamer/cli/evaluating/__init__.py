"""The commands of `streamer evaluate`, one in each file. What they measure with is `streamer.evaluation`."""
