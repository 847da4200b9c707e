/**
 * The literal segments a regular expression for paths must begin with, so that it is only run on paths that have them:
 * thousands of expressions on one host then cost a request no more than the few that start like its path.
 */

const META = new Set('\\.+*?()|[]{}^$')
const QUANTIFIERS = new Set('*+?{')

/**
 * @param source RE2 syntax, matched against whole paths
 * @returns the literal beginning up to, without, its last slash: `/api` for `/api/v[0-9]+`; empty when nothing is
 *   certain
 */
export function literalPrefix(source: string): string {
  if (hasTopLevelAlternative(source)) return ''
  let literal = ''
  let at = source.startsWith('^') ? 1 : 0
  for (; at < source.length; at++) {
    let char = source[at]!
    let width = 1
    if (char === '\\') {
      char = source[at + 1] ?? ''
      // Only an escaped sign stands for itself; letters and digits name classes, positions and codes.
      if (!/^[!-/:-@[-`{-~]$/.test(char)) break
      width = 2
    } else if (META.has(char) || char < '!' || char > '~') break
    if (QUANTIFIERS.has(source[at + width] ?? '')) break
    literal += char
    at += width - 1
  }
  const slash = literal.lastIndexOf('/')
  return slash <= 0 ? '' : literal.slice(0, slash)
}

/** True also where it is not worth finding out: quoting and classes next to an alternative. */
function hasTopLevelAlternative(source: string): boolean {
  if (source.includes('\\Q')) return true
  if (!source.includes('|')) return false
  if (source.includes('[')) return true
  let depth = 0
  for (let i = 0; i < source.length; i++) {
    const char = source[i]
    if (char === '\\') i++
    else if (char === '(') depth++
    else if (char === ')') depth--
    else if (char === '|' && depth === 0) return true
  }
  return false
}
