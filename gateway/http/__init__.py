"""The aiohttp shell: doors for clients, and the operations endpoints."""
