"""CWMP on the wire: messages, faults and the SOAP codec. No sockets, no clock."""
