"""What tests share: servers, generators, the oracle. No tests here."""
