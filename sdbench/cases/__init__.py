"""What was published, claimed or recorded, and the verdict on what is measured. No torch; no files but expected/."""
