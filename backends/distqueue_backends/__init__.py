"""The backends that come with distqueue, registered in the way a third party's are."""
