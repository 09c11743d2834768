"""The commands of `streamer evaluate`, one in each file. The measurements are in `streamer.evaluation`."""
