/** A client certificate that was verified in the handshake. Every text is one line of printable ASCII. */
export interface ClientCertificate {
  /** RFC 2253: the most specific part first, `CN=alice,O=Example`. */
  readonly subject: string
  /** The subject alternative names, `DNS:a.example, URI:spiffe://example/a`; '' = none. */
  readonly san: string
  /** SHA-256 of its DER form, 64 lower-case hexadecimal digits. */
  readonly fingerprint: string
}
