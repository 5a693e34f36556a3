"""What people's work is worth: audits, agreement, and images whose masks are known."""
