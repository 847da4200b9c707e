/** What an installation leaves behind. */
import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import { install, RELEASE, SYSTEM, uninstall } from '../lib/headgate.ts'
import { kubectl } from '../lib/kubernetes.ts'

before(() => install())

describe('helm uninstall', () => {
  it('deletes everything except the CRDs, and with them every Route and Backend', async () => {
    await uninstall()
    await kubectl('delete', 'namespace', SYSTEM, '--wait')
    const kinds = (await kubectl('api-resources', '--verbs=list', '-o', 'name')).trim().split('\n')
    const left = await kubectl(
      'get',
      kinds.join(','),
      '-A',
      '-o',
      'name',
      '-l',
      `app.kubernetes.io/instance=${RELEASE}`,
    )
    const others = left.split('\n').filter((name) => name !== '' && !name.startsWith('customresourcedefinition'))
    assert.deepEqual(others, [])
    assert.match(
      await kubectl('get', 'crd', 'routes.headgate.dev', 'backends.headgate.dev', '-o', 'name'),
      /routes.*\s.*backends/,
    )
  })
})
