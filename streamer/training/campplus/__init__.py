"""How the CAM++ of the past was made: it learns from CAM++ as published what that says of whole recordings."""
