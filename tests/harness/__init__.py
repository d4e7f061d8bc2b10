"""What tests share: messages, apps, strict servers, virtual time, strategies. No test imports another test."""
