"""Each file here is one place outside the market that can be asked: it implements the `Source` port."""
