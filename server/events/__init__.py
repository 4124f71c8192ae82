"""Events as they happen: subscriptions over two transports, and webhooks."""
