/** `headgate cert`: certificates of a local authority, for trying things. */
import { rmSync, writeFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { join } from 'node:path'
import { domainToASCII } from 'node:url'
import { isHostnamePattern } from '../pattern/host.ts'
import type { CommandIo } from './io.ts'
import {
  defaultAuthorityFolder,
  type IssuedCertificate,
  issue,
  type LocalAuthority,
  openLocalAuthority,
} from './local-authority.ts'
import { makeFolder } from './make-folder.ts'
import type { CertCommand } from './parse.ts'

export function makeCertificates(command: CertCommand, io: CommandIo): number {
  const names = command.client ? [] : command.names.map(nameOf)
  const wrong = command.names.find((_, i) => names[i] === undefined && !command.client)
  if (wrong !== undefined) {
    io.err(`${JSON.stringify(wrong)} is neither a hostname, nor a wildcard such as *.example.com, nor an IP address.\n`)
    return 1
  }
  const known = names as readonly string[]
  try {
    const authority = openLocalAuthority(command.authority ?? defaultAuthorityFolder(), Date.now())
    const issued = issue(
      authority,
      {
        use: command.client ? 'client' : 'server',
        // 64 characters are what a common name can have, and nobody looks at a server's.
        subject: { commonName: (command.client ? command.names[0]! : known[0]!).slice(0, 64) },
        names: command.client
          ? {}
          : { dns: known.filter((name) => isIP(name) === 0), ip: known.filter((name) => isIP(name) > 0) },
        days: command.days,
        keyType: command.rsa ? 'rsa' : 'ecdsa',
      },
      Date.now(),
    )
    if (command.output === 'secret') io.out(secretManifest(secretName(command, known), issued))
    else writeFiles(command, known, issued, io)
    io.err(trust(authority))
    return 0
  } catch (error) {
    io.err(`The certificate cannot be made: ${error instanceof Error ? error.message : String(error)}\n`)
    return 1
  }
}

/** @returns in the form that certificates have; undefined when it is no name */
function nameOf(written: string): string | undefined {
  if (isIP(written) > 0) return written
  const wildcard = written.startsWith('*.') ? '*.' : ''
  const name = wildcard + domainToASCII(written.slice(wildcard.length))
  return isHostnamePattern(name) ? name : undefined
}

function secretName({ names: [first], secret }: CertCommand, known: readonly string[]): string {
  if (secret !== undefined) return secret
  const name = (known[0] ?? first!).replace(/^\*/, 'wildcard').toLowerCase()
  return name.replaceAll(/[^-.a-z0-9]+/g, '-').replaceAll(/^[-.]+|[-.]+$/g, '') || 'certificate'
}

function writeFiles(command: CertCommand, known: readonly string[], issued: IssuedCertificate, io: CommandIo): void {
  makeFolder(command.out)
  const base = join(command.out, secretName(command, known))
  // A file that is there would keep its mode.
  rmSync(`${base}.key`, { force: true })
  writeFileSync(`${base}.key`, issued.key, { flag: 'wx', mode: 0o600 })
  writeFileSync(`${base}.crt`, issued.certificate)
  const end = issued.notAfter.toISOString().slice(0, 10)
  const of = command.client ? `the client ${command.names[0]}` : known.join(', ')
  io.out(`${base}.crt  certificate for ${of}, valid until ${end}\n${base}.key  its private key\n`)
}

function secretManifest(name: string, { certificate, key }: IssuedCertificate): string {
  const base64 = (text: string): string => Buffer.from(text).toString('base64')
  return `apiVersion: v1
kind: Secret
type: kubernetes.io/tls
metadata: { name: ${name} }
data:
  tls.crt: ${base64(certificate)}
  tls.key: ${base64(key)}
`
}

function trust({ file, fresh }: LocalAuthority): string {
  const made = fresh ? 'A new local authority was made and is kept' : 'The local authority is kept'
  return `${made} in ${file}\n  curl --cacert ${file} https://…   ·   or import it into the browser as an authority for websites\n`
}
