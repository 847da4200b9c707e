import { interestIn, sourceSuite } from '../../suite/source.ts'
import { CheckpointWorld } from './world.ts'

const references = interestIn({ services: ['shop/v'], secrets: ['shop/s'], configMaps: ['shop/c'], namespaces: true })

sourceSuite('an API server with a checkpoint', async () => {
  const world = await CheckpointWorld.open()
  const { api } = world
  const run = world.run({ references, checkpoint: { keyFile: world.keyFile } })
  return {
    source: run.source,
    put: async (object) => api.put(object),
    putAll: async (objects) => {
      for (const object of objects) api.put(object)
    },
    remove: async (object) => api.remove(object),
    close: async () => {
      await run.end()
      await world.close()
    },
  }
})
