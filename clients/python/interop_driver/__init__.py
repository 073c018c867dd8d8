"""The SDK behind the conformance kit's driver protocol: the example for drivers of other clients.

Source: interop_api/conformance/v1/driver.proto.
"""
