import { holdEveryAppToItsDocument } from './conformance.js';

// Loaded into every test by tap's `node-arg`.
holdEveryAppToItsDocument();
