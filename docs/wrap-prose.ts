/** Wraps the prose of generated Markdown at 120 columns; headings, tables, code and lists stay as they are. */

const WIDTH = 120

export function wrapProse(markdown: string): string {
  let code = false
  return markdown
    .split('\n')
    .map((line) => {
      if (line.startsWith('```')) code = !code
      return code || line.length <= WIDTH || /^(?:[|#<]|\s|[-*] |\d+\. )/.test(line) ? line : wrapLine(line)
    })
    .join('\n')
}

function wrapLine(line: string): string {
  const lines: string[] = []
  let current = ''
  for (const word of line.split(' ')) {
    if (current !== '' && current.length + 1 + word.length > WIDTH) {
      lines.push(current)
      current = ''
    }
    current = current === '' ? word : `${current} ${word}`
  }
  return [...lines, current].join('\n')
}
