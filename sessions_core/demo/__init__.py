"""The gateway that answers until a real one is connected: scripted replies over the real protocol."""

from .wire import DemoGateway

__all__ = ["DemoGateway"]
