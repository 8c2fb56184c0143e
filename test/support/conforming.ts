import { checkResponsesOfEveryApp } from './conformance.js';

// tap's `node-arg` loads this into every test.
checkResponsesOfEveryApp();
