"""Passkeys (W3C WebAuthn Level 3): registration, sign-in, and what a portal keeps of each.

The `webauthn` package is imported when a passkey is first registered, never by importing this.
"""
