/** Names and labels as an API server accepts them, so that keys are unambiguous. */
import { KINDS, type Kind, type KindRow } from './kinds.ts'
import type { FieldProblem } from './object.ts'
import { quoted } from './wording.ts'

const LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/
const SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/
const KEY_NAME = /^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/
const LABEL_VALUE = /^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/

/** RFC 1123 label of at most 63 characters. */
export function isLabel(text: string): boolean {
  return LABEL.test(text)
}

/** RFC 1123 subdomain of at most 253 characters. */
export function isSubdomain(text: string): boolean {
  return text.length <= 253 && SUBDOMAIN.test(text)
}

interface Metadata {
  readonly name?: string
  readonly namespace?: string
  readonly labels?: Readonly<Record<string, string>>
  readonly annotations?: Readonly<Record<string, string>>
}

/** @param metadata right by its types */
export function metadataProblems(kind: Kind, metadata: Metadata): FieldProblem[] {
  const problems: FieldProblem[] = []
  const { labelNamed, namespaced }: KindRow = KINDS[kind]
  const refuse = (path: readonly string[], message: string) =>
    problems.push({ path: ['metadata', ...path], reason: 'Invalid', message })
  const { name, namespace } = metadata
  if (name !== undefined) {
    if (labelNamed ? !isLabel(name) : !isSubdomain(name))
      refuse(['name'], `${quoted(name)} is not a name: ${labelNamed ? ONE_LABEL : SEVERAL_LABELS}`)
  }
  // A source represents a missing name as the empty string.
  const inNone = !namespaced && namespace === ''
  if (namespace !== undefined && !namespaced && !inNone)
    refuse(['namespace'], `a ${kind} is in no namespace; leave it out`)
  else if (namespace !== undefined && !inNone && !isLabel(namespace))
    refuse(['namespace'], `${quoted(namespace)} is not the name of a namespace: ${ONE_LABEL}`)
  for (const [key, value] of Object.entries(metadata.labels ?? {})) {
    if (!isKey(key)) refuse(['labels', key], KEY)
    if (!LABEL_VALUE.test(value)) refuse(['labels', key], `${quoted(value)} is not the value of a label: ${VALUE}`)
  }
  for (const key of Object.keys(metadata.annotations ?? {}))
    if (!isKey(key.toLowerCase())) refuse(['annotations', key], KEY)
  return problems
}

const ONE_LABEL = 'use at most 63 lower-case letters, digits and -, with a letter or digit at both ends'
const SEVERAL_LABELS = 'use at most 253 lower-case letters, digits, - and ., with a letter or digit at both ends'
const VALUE = 'use at most 63 letters, digits, -, _ and ., with a letter or digit at both ends'
const KEY = 'is not a key: use at most 63 letters, digits, -, _ and ., if need be after a DNS name and /'

function isKey(key: string): boolean {
  const slash = key.indexOf('/')
  if (slash === -1) return KEY_NAME.test(key)
  return isSubdomain(key.slice(0, slash)) && KEY_NAME.test(key.slice(slash + 1))
}
