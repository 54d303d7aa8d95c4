"""What only many calls show: that all counts agree, that nothing is left behind, that replacing costs no call."""
