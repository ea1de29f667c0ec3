"""A search's scenario and its findings in the languages of other tools, so that these can be asked too."""
