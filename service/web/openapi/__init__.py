"""The OpenAPI document: every REST route of this service, with the models that it serves."""

from service.web.openapi.document import Offered, document

__all__ = ["Offered", "document"]
