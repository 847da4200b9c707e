/**
 * Detects scalars that YAML 1.1 and 1.2 parsers interpret differently. Headgate reads the core schema of YAML 1.2.2
 * (§10.3); kubectl reads YAML 1.1 like go-yaml: `on` is true, `010` is eight. A manifest must have the same meaning in
 * both, so such a scalar causes a warning to use quotes.
 */

const BOOLEAN = /^(?:y|Y|yes|Yes|YES|on|On|ON|n|N|no|No|NO|off|Off|OFF)$/
const OCTAL = /^[-+]?0[0-7_]+$/
const BINARY = /^[-+]?0b[01_]+$/
const UNDERSCORED = /^[-+]?(?:0x[\da-fA-F_]+|0o[0-7_]+|[1-9][\d_]*|0)(?:\.[\d_]*)?$/
const SEXAGESIMAL = /^[-+]?[1-9][\d_]*(?::[0-5]?\d)+(?:\.[\d_]*)?$/

/**
 * @param source text of a plain (unquoted, untagged) scalar
 * @param value its value in the core schema
 * @returns a message, null when both interpretations agree
 */
export function yaml11Difference(source: string, value: unknown): string | null {
  const here = typeof value === 'string' ? `the text "${value}"` : `${String(value)}`
  const there = inYaml11(source)
  if (there === null || there === here) return null
  const reader = SEXAGESIMAL.test(source) ? 'Some parsers of YAML 1.1 read' : 'In YAML 1.1, kubectl reads'
  const remedy =
    typeof value === 'string'
      ? `write "${source}" in quotes`
      : 'write the number in decimal, or in quotes if it is a text'
  return `${reader} \`${source}\` as ${there}, Headgate as ${here}: ${remedy}.`
}

function inYaml11(source: string): string | null {
  if (BOOLEAN.test(source)) return /^(y|on)/i.test(source) ? 'the boolean true' : 'the boolean false'
  const digits = source.replaceAll('_', '').replace(/^[-+]/, '')
  const sign = source.startsWith('-') ? '-' : ''
  if (OCTAL.test(source)) return `${sign}${Number.parseInt(digits, 8)}`
  if (BINARY.test(source)) return `${sign}${Number.parseInt(digits.slice(2), 2)}`
  if (source.includes('_') && UNDERSCORED.test(source)) return `${sign}${Number(digits)}`
  if (SEXAGESIMAL.test(source)) {
    const value = digits.split(':').reduce((sum, part) => sum * 60 + Number(part), 0)
    return `${sign}${value}`
  }
  return null
}
