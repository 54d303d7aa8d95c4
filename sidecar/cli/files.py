"""Commands that only read or write files: users, render, version. None of them needs a running gateway."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from sidecar.cli.failure import Failure
from sidecar.cli.option_kinds import (
    CallsPerClientOption,
    HostOption,
    HttpOption,
    ProxyProtocolOption,
    StateDirOption,
    TlsCertificateOption,
    TlsKeyOption,
    TrustedProxyOption,
    UsersFileOption,
)
from sidecar.cli.process_options import hosts_of, takes, users_file_of
from sidecar.front.settings import CALLS_PER_CLIENT
from sidecar.supervisor.start.addresses import plain_addresses, trusted_networks
from sidecar.supervisor.start.options import FRONT_PORT, STATE_DIR, WORKERS, WORKERS_MAX, FrontOptions

_UsersFile = Annotated[
    Path | None,
    typer.Option(
        "--file",
        metavar="PATH",
        help="A users file for `--users-file` of `sidecar up`. Default: `users` in the state directory.",
    ),
]
_Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the user, and of its consumer in metrics.")]


def register(app: typer.Typer) -> None:
    users = typer.Typer(
        help="Manage users.\n\nChanges take effect at once, without a restart. Gateways that share a store with an "
        "`encryption_key` share their users: changes take effect on all of them within a second.",
        no_args_is_help=True,
        epilog="Example: sidecar users add alice",
    )
    users.command("add", epilog="Example: sidecar users add alice")(users_add)
    users.command("list", epilog="Example: sidecar users list")(users_list)
    users.command("remove", epilog="Example: sidecar users remove alice")(users_remove)
    app.add_typer(users, name="users")
    render = typer.Typer(
        help="Write a front proxy's configuration.",
        no_args_is_help=True,
        epilog="Example: sidecar render nginx --output front",
    )
    for name, command in (("nginx", render_nginx), ("envoy", render_envoy)):
        example = f"Example: sidecar render {name} --output front --host 0.0.0.0 --port 443"
        render.command(name, epilog=example)(command)
    app.add_typer(render, name="render")
    app.command(epilog="Example: sidecar version")(version)


def users_add(
    name: _Name,
    state_dir: StateDirOption = STATE_DIR,
    file: _UsersFile = None,
    replace: Annotated[bool, typer.Option("--replace", help="Give an existing user a new password.")] = False,
) -> None:
    """Add a user.

    It prints the password and the API key once. They are stored nowhere.
    """
    from sidecar.identity import users
    from sidecar.supervisor.start.state import make_private

    if file is None:
        make_private(state_dir)
    try:
        password = users.add_user(file or state_dir / "users", name, replace=replace)
    except (users.UsersError, OSError) as error:
        raise Failure(str(error)) from None
    if file is None:
        _update_env_file(state_dir, name, password)
    print(f"user      {name}\npassword  {password}\napi key   {users.api_key(name, password)}")


def users_list(state_dir: StateDirOption = STATE_DIR, file: _UsersFile = None) -> None:
    """Print the names of all users, one per line."""
    from sidecar.identity import users

    try:
        names = users.list_users(file or state_dir / "users")
    except OSError as error:
        raise Failure(str(error)) from None
    for name in names:
        print(name)


def users_remove(name: _Name, state_dir: StateDirOption = STATE_DIR, file: _UsersFile = None) -> None:
    """Remove a user.

    Its calls in progress may finish.
    """
    from sidecar.identity import users

    try:
        users.remove_user(file or state_dir / "users", name)
    except (users.UsersError, OSError) as error:
        raise Failure(str(error)) from None
    if file is None:
        _update_env_file(state_dir, name, None)


def _update_env_file(state_dir: Path, name: str, password: str | None) -> None:
    """Updates or removes this user's password in the env file of the state directory, if it is there."""
    from sidecar.identity.users import api_key
    from sidecar.supervisor.start.announcement import env_text, read_env
    from sidecar.supervisor.start.state import write_private

    values = read_env(state_dir / "env")
    if values.get("SIDECAR_USER") != name:
        return
    if password is None:
        values = {key: value for key, value in values.items() if key not in _CREDENTIALS}
    else:
        values |= {"SIDECAR_PASSWORD": password, "SIDECAR_API_KEY": api_key(name, password)}
    write_private(state_dir / "env", env_text(values))


_CREDENTIALS = ("SIDECAR_USER", "SIDECAR_PASSWORD", "SIDECAR_API_KEY")


@dataclass(frozen=True, slots=True)
class _RenderOptions:
    """One option per field."""

    output: Annotated[Path, typer.Option("--output", metavar="PATH", help="Folder to write to. Created if missing.")]
    state_dir: StateDirOption = STATE_DIR
    host: HostOption = None
    port: Annotated[int, typer.Option("--port", min=1, max=65535, metavar="PORT", help="HTTPS port.")] = FRONT_PORT
    workers: Annotated[
        int, typer.Option("--workers", min=1, max=WORKERS_MAX, metavar="N", help="Number of workers given to `serve`.")
    ] = WORKERS
    tls_certificate: TlsCertificateOption = None
    tls_key: TlsKeyOption = None
    users_file: UsersFileOption = None
    http: HttpOption = None
    trusted_proxy: TrustedProxyOption = None
    proxy_protocol: ProxyProtocolOption = False
    cors_origin: Annotated[
        list[str] | None,
        typer.Option(
            "--cors-origin",
            metavar="ORIGIN",
            help="A web page that may call from a browser, as `cors` in a config file; may be given several times. "
            "Example: --cors-origin https://app.example.com",
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class _NginxOptions(_RenderOptions):
    calls_per_client: CallsPerClientOption = CALLS_PER_CLIENT


@takes(_NginxOptions)
def render_nginx(chosen: _NginxOptions) -> None:
    """Write the Nginx configuration.

    It is the one that `up` uses, for your own Nginx in front of `sidecar serve`.
    """
    _render("nginx", chosen, chosen.calls_per_client)


@takes(_RenderOptions)
def render_envoy(chosen: _RenderOptions) -> None:
    """Write the Envoy configuration.

    It is the one that `up --front envoy` uses, for your own Envoy in front of `sidecar serve`. Write it again after
    `sidecar users add` or `remove`: a running Envoy reads the users from it without a restart.
    """
    _render("envoy", chosen)


def _render(program: str, chosen: _RenderOptions, calls_per_client: int = CALLS_PER_CLIENT) -> None:
    from sidecar.front import pki, programs, settings
    from sidecar.identity import users
    from sidecar.supervisor.start.state import make_private, run_dir

    certificate, key = chosen.tls_certificate, chosen.tls_key
    if (certificate is None) != (key is None):
        raise Failure("--tls-certificate and --tls-key must be given together.")
    trusted = trusted_networks(chosen.trusted_proxy or (), "--trusted-proxy")
    front = FrontOptions(
        program=program,
        hosts=hosts_of(chosen.host),
        port=chosen.port,
        plain=plain_addresses(chosen.http or (), trusted, "--http"),
        trusted_proxies=trusted,
        proxy_protocol=chosen.proxy_protocol,
        calls_per_client=calls_per_client,
    )
    make_private(chosen.state_dir)
    root, run = chosen.state_dir.absolute(), run_dir(chosen.state_dir)
    try:
        users_file = users_file_of(chosen.users_file)
        if users_file is None:
            users_file = root / "users"
            users.ensure_users_file(users_file)
        if certificate is None or key is None:
            issued = pki.ensure_certificates(root, front.hosts)
            certificate, key = issued.certificate, issued.key
        front_settings = front.settings(
            core_sockets=tuple(run / f"w{position}.sock" for position in range(chosen.workers)),
            users_file=users_file,
            tls_certificate=certificate,
            tls_key=key,
            cors_origins=_origins(chosen.cors_origin or ()),
        )
        print(programs.program(program).render(front_settings, chosen.output))
    except (settings.FrontError, OSError, ValueError) as error:
        raise Failure(str(error)) from None


def _origins(texts: Iterable[str]) -> tuple[str, ...]:
    from sidecar.domain.origins import ANY, Origin

    for text in texts:
        if text != ANY and Origin.parsed(text) is None:
            raise Failure(
                f"--cors-origin {text} is not an origin. Write https://app.example.com, https://*.example.com or *."
            )
    return tuple(dict.fromkeys(texts))


def version() -> None:
    """Print the versions of Sidecar, Python and gRPC."""
    print(version_text())


def version_text() -> str:
    """For example `sidecar 0.1.0, Python 3.11.9, grpcio 1.85.1`."""
    import platform
    from importlib import metadata

    try:
        installed = metadata.version("llm-gateway-sidecar")
    except metadata.PackageNotFoundError:
        installed = "(from source)"
    return f"sidecar {installed}, Python {platform.python_version()}, grpcio {metadata.version('grpcio')}"
