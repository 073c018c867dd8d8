"""What is checked, one module for each area; each module's checks register themselves when it is imported."""
