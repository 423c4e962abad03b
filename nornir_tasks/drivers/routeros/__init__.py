"""MikroTik RouterOS by SSH: secrets, queues, address lists and live sessions."""
