"""SSH to enforcement points: logins, host keys, shells, and the connection plugin."""

from nornir_tasks.connections.ssh.plugin import SSHConnection
from nornir_tasks.connections.ssh.session import ExecResult, SSHSession
from nornir_tasks.connections.ssh.shell import Prompt, Shell, ShellClosedError, ShellTimeoutError

__all__ = ('ExecResult', 'Prompt', 'SSHConnection', 'SSHSession', 'Shell', 'ShellClosedError', 'ShellTimeoutError')
