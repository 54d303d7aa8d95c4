"""What only many calls show: that the books close, that nothing is left behind, that replacing costs no call."""
