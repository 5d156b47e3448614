"""Small networks that were trained where only one factor helps, and the scenes that they are measured on."""
