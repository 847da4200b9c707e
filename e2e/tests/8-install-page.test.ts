/** docs/install.md, what of it needs no registry: by kubectl, and then the example. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { type Entrance, entrance, SYSTEM, uninstall } from '../lib/headgate.ts'
import { kubectl, tryKubectl } from '../lib/kubernetes.ts'
import { IMAGE } from '../lib/pods.ts'
import { openShell, ROOT, type Shell } from '../lib/shell.ts'
import { until } from '../lib/wait.ts'

/** Where the image under test is, in place of what the page says. */
const REGISTRY = /registry\.example\.com\/headgate/g
const REPOSITORY = IMAGE.slice(0, IMAGE.lastIndexOf(':'))
const FULL = REPOSITORY.includes('/') ? REPOSITORY : `docker.io/library/${REPOSITORY}`
const VERSION = IMAGE.slice(IMAGE.lastIndexOf(':') + 1)

const SHOWN = readFileSync(join(ROOT, 'docs/install.md'), 'utf8').includes(`registry.example.com/headgate:${VERSION}#`)

let shell: Shell
let door: Entrance | undefined

/** The block below the heading. */
function blockOf(section: string): string {
  const page = readFileSync(join(ROOT, 'docs/install.md'), 'utf8')
  const found = page.split(/^## /m).find((part) => part.startsWith(`${section}\n`))
  const [, block] = /^```\n([\s\S]*?)^```$/m.exec(found ?? '') ?? []
  assert.ok(block !== undefined, `docs/install.md has no block under ${section}`)
  return block.replace(REGISTRY, FULL)
}

async function clear(): Promise<void> {
  for (const file of ['example', 'install'])
    await tryKubectl(['delete', '--ignore-not-found', '--wait', '-f', join(ROOT, `manifests/${file}.yaml`)])
}

describe('docs/install.md', { skip: !SHOWN && `shows another image than ${IMAGE}` }, () => {
  before(async () => {
    await uninstall()
    await clear()
    shell = await openShell()
  })

  after(async () => {
    door?.close()
    shell?.close()
    await clear()
  })

  it('By kubectl: applied, rolled out', async () => {
    const said = await shell.run(blockOf('By kubectl'))
    assert.match(said, /deployment\.apps\/headgate serverside-applied/)
    assert.match(said, /successfully rolled out/)
    const path = 'jsonpath={.items[*].spec.containers[*].image}'
    for (const image of (await kubectl('get', 'pods', '-n', SYSTEM, '-o', path)).split(' '))
      assert.equal(image, `${FULL}:${VERSION}`)
  })

  it('Then: the example is Ready, and answers', async () => {
    assert.match(await shell.run(blockOf('Then')), /echo condition met/)
    door = await entrance()
    const { body } = await until('traffic', async () => {
      const answer = await door!.ask('echo.localhost', '/hello')
      return answer.status === 200 && answer
    })
    assert.equal(JSON.parse(body).path, '/hello')
  })

  it('works without --server-side too, on existing objects', async () => {
    const { code, stderr } = await tryKubectl(['apply', '-f', join(ROOT, 'manifests/install.yaml'), '--dry-run=server'])
    assert.equal(code, 0, stderr)
    assert.equal(
      await kubectl('get', 'pods', '-n', SYSTEM, '-o', 'name').then((text) => text.trim().split('\n').length),
      2,
    )
  })

  it('Uninstalling: deletes everything except the CRDs, and with them the Routes', async () => {
    const said = await shell.run(blockOf('Uninstalling'))
    assert.match(said, /deployment\.apps "headgate" deleted/)
    assert.doesNotMatch(said, /customresourcedefinition/)
    assert.match(await kubectl('get', 'route.headgate.dev', '-A', '-o', 'name'), /echo/)
    const kinds = 'clusterrole,clusterrolebinding,ingressclass,namespace'
    assert.doesNotMatch(await kubectl('get', kinds, '-o', 'name'), /headgate(?!-example)/)
  })
})
