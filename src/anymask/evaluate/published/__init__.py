"""SAM and its kin in the order of work in which they were published, to be measured beside."""
