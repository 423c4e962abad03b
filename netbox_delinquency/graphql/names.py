"""GraphQL has one name space for NetBox and all its plugins (others have a `Contract` too): ours say whose they are."""

__all__ = ('graphql_name',)

PREFIX = 'Delinquency'


def graphql_name(name: str) -> str:
    return PREFIX + name.removeprefix(PREFIX)
