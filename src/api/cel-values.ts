/** Converts values and field names of a structural schema to CEL. */
import type { Schema } from './schema-dialect.ts'

const CEL_RESERVED = new Set([
  'true',
  'false',
  'null',
  'in',
  'as',
  'break',
  'const',
  'continue',
  'else',
  'for',
  'function',
  'if',
  'import',
  'let',
  'loop',
  'package',
  'namespace',
  'return',
  'var',
  'void',
  'while',
])

/** Escapes names that CEL cannot express, like the API server. */
export function escapeName(name: string): string {
  if (CEL_RESERVED.has(name)) return `__${name}__`
  return name
    .replaceAll('__', '__underscores__')
    .replaceAll('.', '__dot__')
    .replaceAll('-', '__dash__')
    .replaceAll('/', '__slash__')
}

/**
 * Whether rules that use these words see a value of this schema otherwise than JavaScript does. An integer no rule
 * names needs no 64-bit form: copies of whole objects for CEL would otherwise be half the cost of a check.
 *
 * @param name of the field that holds the value
 */
export function celDiffers(schema: Schema, name: string, words: ReadonlySet<string>): boolean {
  if (words.size === 0) return false
  if (schema['x-kubernetes-int-or-string'] || schema.type === 'integer') return words.has(name)
  if (schema['x-kubernetes-preserve-unknown-fields']) return words.has(name)
  if (schema.items !== undefined && celDiffers(schema.items, name, words)) return true
  if (schema.additionalProperties !== undefined && celDiffers(schema.additionalProperties, name, words)) return true
  return Object.entries(schema.properties ?? {}).some(([field, child]) => {
    const escaped = escapeName(field)
    return (escaped !== field && words.has(escaped)) || celDiffers(child, field, words)
  })
}

/** Names available to the rules of a node: their own identifiers, those of rules above, and the node itself. */
export function wordsOf(schema: Schema, name: string, above: ReadonlySet<string>): ReadonlySet<string> {
  const rules = schema['x-kubernetes-validations']
  if (rules === undefined) return above
  const words = new Set(above).add(name)
  for (const { rule } of rules) for (const word of rule.match(/[A-Za-z_]\w*/g) ?? []) words.add(word)
  return words
}
