"""What several tests share: no test stands here."""
