/** The names of a certificate, and which hostnames they stand for, by the rules of browsers (RFC 9525 §6). */

/** `DNS:a.example, URI:"spiffe://a\u002cb"`: what may be taken for a separator is quoted. */
const ENTRY = /([A-Za-z ]+):("(?:[^"\\]|\\.)*"|[^,]*)(?:, |$)/y
/** One `*` as the whole leftmost label; no browser takes it elsewhere. */
const DNS_NAME = /^(\*\.)?[a-z0-9_]([-a-z0-9_]*[a-z0-9_])?(\.[a-z0-9_]([-a-z0-9_]*[a-z0-9_])?)*$/

/**
 * @param text as `X509Certificate.subjectAltName` has it
 * @returns DNS names in lower case, without those that stand for no host. Subjects do not count: browsers ignore them
 */
export function dnsNamesOf(text: string | undefined): readonly string[] {
  const names = new Set<string>()
  if (text === undefined) return []
  ENTRY.lastIndex = 0
  for (let entry = ENTRY.exec(text); entry !== null; entry = ENTRY.exec(text)) {
    const name = entry[2]!.toLowerCase()
    if (entry[1] === 'DNS' && name.length <= 253 && DNS_NAME.test(name)) names.add(name)
  }
  return [...names]
}

/**
 * Whether certificates with these names are accepted for a hostname. A wildcard stands for exactly one label, so a
 * hostname that is a wildcard itself, which covers one label or more, is covered as far as any certificate can.
 *
 * @param hostname in normal form: `shop.example.com` or `*.example.com`
 */
export function namesCover(names: ReadonlySet<string>, hostname: string): boolean {
  if (names.has(hostname)) return true
  const dot = hostname.indexOf('.')
  // `*.com` would cover a whole registry; browsers refuse it.
  return (
    dot > 0 && !hostname.startsWith('*.') && hostname.includes('.', dot + 1) && names.has(`*${hostname.slice(dot)}`)
  )
}
