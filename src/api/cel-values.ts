/** How values of a structural schema appear in CEL, and how fields are named there. */
import type { Schema } from './schema-run.ts'

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

/** As the API server escapes names that CEL cannot spell. */
export function escapeName(name: string): string {
  if (CEL_RESERVED.has(name)) return `__${name}__`
  return name
    .replaceAll('__', '__underscores__')
    .replaceAll('.', '__dot__')
    .replaceAll('-', '__dash__')
    .replaceAll('/', '__slash__')
}

/** Whether CEL sees values of this schema otherwise than JavaScript does. */
export function celDiffers(schema: Schema): boolean {
  if (schema['x-kubernetes-int-or-string'] || schema.type === 'integer') return true
  if (schema['x-kubernetes-preserve-unknown-fields']) return true
  if (schema.items !== undefined && celDiffers(schema.items)) return true
  if (schema.additionalProperties !== undefined && celDiffers(schema.additionalProperties)) return true
  return Object.entries(schema.properties ?? {}).some(([name, child]) => escapeName(name) !== name || celDiffers(child))
}
