"""The auth crawl: every method and path there is, in every spelling a stranger may think of, without credentials that hold."""
