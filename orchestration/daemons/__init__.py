"""What an orchestrator's own processes on this machine need, whichever orchestrator it is.

A folder with secrets and a remembered port, a database of the embedded server, and processes that
outlive the command that started them.
"""
