"""Training of the streaming CAM++: it learns to match what the published CAM++ computes from whole recordings."""
