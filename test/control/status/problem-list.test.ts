import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { ObjectProblem } from '../../../src/control/resources/resource-cache.ts'
import { ProblemList } from '../../../src/control/status/problem-list.ts'
import type { SourceProblem } from '../../../src/source/source.ts'

function list() {
  const told: string[] = []
  let located = 0
  const problems = new ProblemList(
    (level, message) => told.push(`${level} ${message}`),
    (_, key, path) => {
      located++
      return { file: `${key}.yaml`, line: 10 + path.length, column: 5 }
    },
  )
  return { problems, told, located: () => located }
}

const syntax: SourceProblem = {
  severity: 'error',
  reason: 'Syntax',
  message: 'not YAML: close the bracket',
  location: { file: 'shop/a.yaml', line: 3, column: 7 },
}

function broken(name: string, stale = false, namespace = 'shop'): ObjectProblem {
  return {
    kind: 'Route',
    key: `${namespace}/${name}`,
    origin: { file: 'shop/a.yaml', line: 1 },
    problems: [{ path: ['spec', 'rules', 0, 'name'], reason: 'Required', message: 'must be given' }],
    stale,
  }
}

describe('the list of problems', () => {
  it('has what is wrong, where, and what is served meanwhile', () => {
    const { problems, told } = list()
    problems.setSource([syntax])
    problems.setObjects([broken('api'), broken('web', true)])
    assert.deepEqual(told, [
      'error shop/a.yaml:3:7: not YAML: close the bracket (Syntax)',
      'error shop/api.yaml:14:5: Route shop/api: spec.rules[0].name: must be given; nothing of it is served (Required)',
      'error shop/web.yaml:14:5: Route shop/web: spec.rules[0].name: must be given; its last good version serves on (Required)',
    ])
    assert.deepEqual(
      [...problems.list()].map(({ object, line, field }) => [object, line, field]),
      [
        [undefined, 3, undefined],
        ['Route shop/api', 14, 'spec.rules[0].name'],
        ['Route shop/web', 14, 'spec.rules[0].name'],
      ],
    )
  })

  it('logs each once, looks for its place once, and logs when all are solved', () => {
    const { problems, told, located } = list()
    for (let i = 0; i < 5; i++) problems.setObjects([broken('api')])
    assert.equal(told.length, 1)
    assert.equal(located(), 1)
    problems.setObjects([])
    problems.setObjects([])
    assert.equal(told.at(-1), 'info every problem with the manifests is solved')
    assert.equal(told.length, 2)
    problems.setObjects([broken('api')])
    assert.equal(told.length, 3, 'one that comes back is said again')
  })

  it('does not flood the log, nor hold up the thread, when a thousand objects break at once', () => {
    const { problems, told, located } = list()
    problems.setObjects(Array.from({ length: 1_000 }, (_, i) => broken(`r${i}`)))
    assert.equal(told.length, 51)
    assert.match(told.at(-1)!, /and 950 more/)
    assert.equal(located(), 50)
    assert.equal([...problems.list()].length, 1_000)
  })

  it('logs each namespace in its turn when thousands of one break at once', () => {
    const { problems, told } = list()
    problems.setObjects([
      ...Array.from({ length: 5_000 }, (_, i) => broken(`r${i}`, false, 'noisy')),
      broken('shop', false, 'zcalm'),
    ])
    assert.equal(told.length, 51)
    assert.ok(told.some((line) => line.includes('Route zcalm/shop:')))
  })

  it('does not look again at objects that are the same', () => {
    const { problems, told } = list()
    const many = Array.from({ length: 20_000 }, (_, i) => broken(`r${i}`))
    problems.setObjects(many)
    const started = performance.now()
    for (let i = 0; i < 1_000; i++) problems.setObjects(many)
    assert.ok(performance.now() - started < 100)
    problems.setObjects([...many, broken('new')])
    assert.match(told.at(-1)!, /Route shop\/new:/)
  })
})
