import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fromField } from '../../src/cli/finding.ts'
import type { Definition } from '../../src/source/folder/definition.ts'

test('thousands of findings about one object cost little more than one of them', () => {
  const rule = (i: number) =>
    `    - name: rule-${i}\n      matches: [{ path: { type: PathPrefix, value: /some/path/${i} } }]\n`
  const textOf = (name: string) =>
    `metadata: { name: ${name} }\nspec:\n  rules:\n${Array.from({ length: 500 }, (_, i) => rule(i)).join('')}`
  const about = (name: string): Definition => {
    const text = textOf(name)
    return { kind: 'Route', key: `a/${name}`, raw: {}, file: 'a.yaml', line: 1, text, textLine: 0, base: [], bytes: 0 }
  }
  const locate = (definition: Definition, i: number) =>
    fromField('error', definition, { path: ['spec', 'rules', i % 500, 'name'], message: '', reason: 'Invalid' }).line
  const cpu = (run: () => void): number => {
    const before = process.cpuUsage()
    run()
    const { user, system } = process.cpuUsage(before)
    return user + system
  }
  locate(about('warm'), 0)
  const one = cpu(() => assert.equal(locate(about('one'), 499), 4 + 2 * 499))
  const many = about('many')
  const all = cpu(() => {
    for (let i = 0; i < 1_000; i++) assert.equal(locate(many, i), 4 + 2 * (i % 500))
  })
  assert.ok(all < 50 * one, `one takes ${one} us, a thousand ${all}`)
})
